"""What an adapter stands on: the frozen networks, written into its configuration and held against it."""

from dataclasses import dataclass

from .config import SamAVConfig
from .fingerprint import difference
from .hub import check_public_name


@dataclass(frozen=True)
class Footing:
    """The frozen networks of one model, as a configuration knows them. Without an audio encoder its fields are None.

    Attributes:
        base_name: Hub id of the base, or None; its commit is `base_revision`.
        base_fingerprint: of the base's image encoder; None on the meta device.
        width: of the image encoder.
        depth: of the image encoder.
        image_size: side of the input in pixels.
        encoder_name: name of the audio encoder; None also for one that others cannot resolve.
        encoder_fingerprint: of the audio encoder.
        audio_dim: length of the audio encoder's embeddings.
    """

    base_name: str | None
    base_revision: str | None
    base_fingerprint: str | None
    width: int
    depth: int
    image_size: int
    encoder_name: str | None = None
    encoder_fingerprint: str | None = None
    audio_dim: int | None = None

    def check(self, config: SamAVConfig) -> None:
        """Raises where what a configuration says of its frozen networks is not true of these."""
        check_public_name(config.base_model_name_or_path)
        self._check_base(config)
        if config.image_size not in (None, self.image_size):
            raise ValueError(
                f"The adapter works at {config.image_size} px and this model at {self.image_size} px: adapters of "
                "different image sizes cannot share one model. Load it with a SamAV.from_pretrained of its own."
            )
        if self.audio_dim is not None:
            self._check_audio_encoder(config)

    def describe(self, config: SamAVConfig) -> None:
        """Writes these frozen networks into a configuration that `check` has let pass."""
        config.base_hidden_size, config.base_num_layers = self.width, self.depth
        config.base_fingerprint = config.base_fingerprint or self.base_fingerprint
        config.image_size = self.image_size
        if config.base_model_name_or_path in (None, self.base_name):
            config.base_model_name_or_path, config.base_revision = self.base_name, self.base_revision
        if self.audio_dim is None:
            return
        config.audio_dim = self.audio_dim
        # Of an encoder that came without a name, a name is known only by its fingerprint.
        if self.encoder_name is not None or config.audio_encoder_fingerprint is None:
            config.audio_encoder = self.encoder_name
        config.audio_encoder_fingerprint = config.audio_encoder_fingerprint or self.encoder_fingerprint

    def _check_base(self, config: SamAVConfig) -> None:
        wanted = f"'{config.base_model_name_or_path or 'a base without a public name'}'"
        found = f"'{self.base_name or 'the given base'}'"
        for meaning, theirs, ours in (
            ("width", config.base_hidden_size, self.width),
            ("depth", config.base_num_layers, self.depth),
        ):
            if theirs not in (None, ours):
                raise ValueError(
                    f"Wrong base: the adapter was trained on {wanted}, whose image encoder has {meaning} {theirs}; "
                    f"{found} has {meaning} {ours}."
                )
        if share := _difference(config.base_fingerprint, self.base_fingerprint):
            raise ValueError(
                f"Wrong base: the adapter was trained on {wanted}; {found} has other weights in its image encoder "
                f"({share:.0%} of the sampled ones differ)."
            )
        names = (config.base_model_name_or_path, self.base_name)
        if config.base_fingerprint is None and None not in names and names[0] != names[1]:
            raise ValueError(f"The configuration names the base '{names[0]}', but this model stands on '{names[1]}'.")

    def _check_audio_encoder(self, config: SamAVConfig) -> None:
        if config.audio_dim not in (None, self.audio_dim):
            raise ValueError(
                f"The adapter takes audio embeddings of {config.audio_dim} values; the audio encoder "
                f"'{self.encoder_name}' gives {self.audio_dim}."
            )
        if share := _difference(config.audio_encoder_fingerprint, self.encoder_fingerprint):
            raise ValueError(
                f"Wrong audio encoder: the adapter was trained on '{config.audio_encoder}'; '{self.encoder_name}' as "
                f"given has other weights ({share:.0%} of the sampled ones differ)."
            )
        chosen = config.audio_encoder not in (None, SamAVConfig.audio_encoder)
        if config.audio_encoder_fingerprint is None and chosen and config.audio_encoder != self.encoder_name:
            raise ValueError(
                f"The configuration names the audio encoder '{config.audio_encoder}', but this model has "
                f"'{self.encoder_name}'."
            )


def _difference(first: str | None, second: str | None) -> float:
    """The share of sampled weights that differ, 0 where a fingerprint is not known."""
    return 0.0 if first is None or second is None else difference(first, second)
