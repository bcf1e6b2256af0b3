"""How each class of object looks: one function a class, which draws a random one of its kind."""

from collections.abc import Callable

import numpy as np

from .brush import Brush, arc, box, darker, ellipse, lighter, mirrored, mix, smooth, tint

Look = Callable[[Brush, np.random.Generator], None]

INK = (38, 34, 40)
CREAM = (246, 236, 214)
STEEL = (176, 184, 194)


def bell(brush: Brush, rng: np.random.Generator) -> None:
    """A hand bell of brass, copper or silver, with bands and a clapper."""
    metal = tint(rng, hue=(0.06, 0.14), saturation=(0.05, 0.8), value=(0.75, 0.95))
    waist, flare = rng.uniform(0.40, 0.52), rng.uniform(0.76, 0.92)
    brush.fill(ellipse((rng.uniform(-0.12, 0.12), 0.72), (0.19, 0.19)), darker(metal, 0.5))
    brush.stroke(ellipse((0, -0.77), (0.15, 0.14)), 0.1, darker(metal))
    side = [(0.18, -0.68), (0.36, -0.55), (waist, -0.1), (0.62, 0.3), (flare, 0.58), (flare - 0.1, 0.68)]
    dome = smooth(mirrored(side))
    brush.fill(dome, metal)
    with brush.inside(dome):
        brush.fill(box(-1, 0.46, 1, 0.56), darker(metal, 0.3))
        for band in range(rng.integers(1, 4)):
            top = -0.32 + 0.2 * band
            brush.fill(box(-1, top, 1, top + 0.07), darker(metal, 0.22))
        shine = [(-0.3, -0.5), (-0.2, -0.5), (-0.3, 0.0), (-0.5, 0.45), (-0.56, 0.4), (-0.4, 0.0)]
        brush.fill(smooth(shine), lighter(metal, 0.55))


def drum(brush: Brush, rng: np.random.Generator) -> None:
    """A drum in a bright shell with zigzag cords and hoops, some with their sticks."""
    shell = tint(rng, hue=(0, 1), saturation=(0.55, 0.85), value=(0.55, 0.9))
    hoop = tint(rng, hue=(0.09, 0.14), saturation=(0.2, 0.7), value=(0.8, 0.95))
    width, top, bottom = rng.uniform(0.72, 0.88), rng.uniform(-0.42, -0.3), rng.uniform(0.42, 0.6)
    depth = 0.24
    body = np.concatenate([arc((0, top), (width, depth), np.pi, 2 * np.pi), arc((0, bottom), (width, depth), 0, np.pi)])
    brush.fill(body, shell)
    corners = np.linspace(-width, width, 2 * int(rng.integers(3, 5)) + 1)
    drop = depth * np.sqrt(1 - (corners / width) ** 2)
    levels = np.where(np.arange(len(corners)) % 2, bottom - 0.05, top + 0.05)
    with brush.inside(body):
        brush.stroke(np.stack([corners, levels + drop], axis=1), 0.07, CREAM)
    brush.stroke(arc((0, bottom - 0.02), (width, depth), 0, np.pi), 0.12, hoop)
    brush.fill(ellipse((0, top), (width + 0.05, depth + 0.05)), hoop)
    brush.fill(ellipse((0, top), (width - 0.05, depth - 0.04)), CREAM)
    if rng.random() < 0.5:
        for side in (-1, 1):
            brush.stroke([(side * 0.7, top - 0.5), (-side * 0.12, top)], 0.08, (186, 134, 82))
            brush.fill(ellipse((-side * 0.12, top), (0.09, 0.07)), (150, 100, 60))


def siren(brush: Brush, rng: np.random.Generator) -> None:
    """A warning light: a red, orange or blue dome with a glowing lamp on a dark foot."""
    light = tint(rng, hue=(rng.choice([0.0, 0.07, 0.6]) - 0.02,) * 2, saturation=(0.75, 0.95), value=(0.85, 1.0))
    width, top = rng.uniform(0.5, 0.62), rng.uniform(-0.85, -0.7)
    dome = np.concatenate([arc((0, top + width), (width, width), np.pi, 2 * np.pi), [(width, 0.5), (-width, 0.5)]])
    brush.fill(dome, light)
    with brush.inside(dome):
        brush.fill(ellipse((0, 0.3), (0.34, 0.66)), lighter(light, 0.4))
        brush.fill(ellipse((0, 0.3), (0.19, 0.42)), (255, 246, 200))
        for rib in np.linspace(-width, width, int(rng.integers(3, 6)))[1:-1]:
            brush.fill(box(rib - 0.025, top, rib + 0.025, 0.5), darker(light, 0.2))
        brush.fill(box(-width + 0.1, top + 0.4, -width + 0.18, 0.3, 0.03), lighter(light, 0.75))
    brush.fill(box(-width - 0.13, 0.4, width + 0.13, 0.62, 0.07), STEEL)
    brush.fill(box(-width - 0.28, 0.57, width + 0.28, 0.9, 0.09), (70, 74, 86))


def bee(brush: Brush, rng: np.random.Generator) -> None:
    """A round striped bee with pale wings, seen from the side."""
    honey = tint(rng, hue=(0.10, 0.15), saturation=(0.7, 0.95), value=(0.88, 1.0))
    band = tint(rng, hue=(0.02, 0.1), saturation=(0.2, 0.6), value=(0.1, 0.25))
    wing = tint(rng, hue=(0.5, 0.65), saturation=(0.08, 0.25), value=(0.9, 1.0))
    lift = rng.uniform(-0.2, 0.2)
    plump = rng.uniform(0.40, 0.5)
    brush.fill([(-0.7, 0.14), (-0.98, 0.26), (-0.7, 0.38)], band)
    brush.fill(ellipse((-0.3, -0.42), (0.24, 0.46), -0.75 + lift), darker(wing, 0.12))
    brush.fill(ellipse((0.02, -0.46), (0.26, 0.5), -0.25 + lift), wing)
    for x in (0.62, 0.76):
        brush.stroke([(x, 0.0), (x + 0.1, -0.3), (x + 0.2, -0.36)], 0.045, band)
    body = ellipse((-0.1, 0.26), (0.68, plump))
    brush.fill(body, honey)
    with brush.inside(body):
        stripes = int(rng.integers(3, 5))
        for left in np.linspace(-0.58, 0.2, stripes):
            brush.stroke(arc((left, 0.26), (0.1, 0.6), -np.pi / 2, np.pi / 2), 0.15, band)
    brush.fill(ellipse((0.6, 0.2), (0.3, 0.29)), band)
    brush.fill(ellipse((0.7, 0.12), (0.1, 0.11)), (255, 255, 255))
    brush.fill(ellipse((0.73, 0.12), (0.05, 0.06)), INK)


def bird(brush: Brush, rng: np.random.Generator) -> None:
    """A small round bird with a light breast, a folded wing, a tail and a beak."""
    coat = tint(rng, hue=(0, 1), saturation=(0.45, 0.85), value=(0.6, 0.95))
    breast = tint(rng, hue=(0.02, 0.16), saturation=(0.15, 0.65), value=(0.88, 1.0))
    beak = tint(rng, hue=(0.07, 0.13), saturation=(0.8, 0.95), value=(0.85, 1.0))
    tail = rng.uniform(-0.15, 0.15)
    for foot in (-0.02, 0.2):
        brush.stroke([(foot, 0.5), (foot + 0.04, 0.86), (foot + 0.18, 0.88)], 0.06, beak)
    brush.fill([(-0.3, 0.1), (-0.98, tail), (-0.94, tail + 0.28), (-0.4, 0.44)], darker(coat, 0.4))
    brush.fill([(0.72, -0.46), (0.99, -0.3), (0.7, -0.22)], beak)
    body = smooth([
        (0.5, -0.72), (0.76, -0.42), (0.66, -0.02), (0.54, 0.36), (0.18, 0.62),
        (-0.24, 0.52), (-0.56, 0.24), (-0.2, -0.06), (0.1, -0.34), (0.2, -0.62),
    ])  # fmt: skip
    brush.fill(body, coat)
    with brush.inside(body):
        brush.fill(ellipse((0.5, 0.3), (0.34, 0.52), 0.45), breast)
    wing = smooth([(0.12, -0.1), (0.28, 0.16), (0.02, 0.4), (-0.4, 0.42), (-0.72, 0.3), (-0.3, 0.1)])
    brush.fill(wing, darker(coat, 0.25))
    with brush.inside(wing):
        for shift in np.linspace(0, 0.36, int(rng.integers(2, 4))):
            brush.stroke([(-0.8 + shift, 0.5 - shift), (0.2, 0.32 - shift)], 0.045, lighter(coat, 0.45))
    brush.fill(ellipse((0.52, -0.42), (0.09, 0.09)), (255, 255, 255))
    brush.fill(ellipse((0.54, -0.42), (0.055, 0.055)), INK)


def dog(brush: Brush, rng: np.random.Generator) -> None:
    """A standing dog in brown, grey or white, most with patches."""
    coat = tint(rng, hue=(0.05, 0.11), saturation=(0.05, 0.65), value=(0.45, 0.95))
    patch = darker(coat, 0.5) if rng.random() < 0.5 else lighter(coat, 0.6)
    ear = darker(coat, 0.4)
    belly, tail = rng.uniform(0.26, 0.34), rng.uniform(-0.75, -0.35)
    brush.stroke(smooth([(-0.62, 0.0), (-0.84, -0.2), (-0.9, tail), (-0.84, -0.2)])[:17], 0.14, coat)
    for leg, shade in ((-0.5, 0.25), (0.42, 0.25), (-0.62, 0), (0.26, 0)):
        brush.fill(box(leg - 0.1, 0.1, leg + 0.1, 0.84, 0.09), darker(coat, shade))
        brush.fill(box(leg - 0.1, 0.72, leg + 0.18, 0.86, 0.07), darker(coat, shade))
    body = smooth([
        (-0.72, -0.08), (-0.3, -0.16), (0.2, -0.2), (0.4, -0.46), (0.66, -0.3),
        (0.56, 0.2), (0.2, belly + 0.06), (-0.3, belly - 0.06), (-0.68, 0.3),
    ])  # fmt: skip
    brush.fill(body, coat)
    with brush.inside(body):
        for _ in range(rng.integers(0, 4)):
            spot, width = (rng.uniform(-0.6, 0.4), rng.uniform(-0.15, 0.25)), rng.uniform(0.12, 0.25)
            brush.fill(ellipse(spot, (width, 0.7 * width), rng.uniform(0, np.pi)), patch)
    head = smooth([
        (0.36, -0.76), (0.62, -0.82), (0.74, -0.6), (0.97, -0.52),
        (0.98, -0.36), (0.72, -0.28), (0.44, -0.3), (0.32, -0.5),
    ])  # fmt: skip
    brush.fill(head, coat)
    with brush.inside(head):
        brush.fill(ellipse((0.9, -0.38), (0.2, 0.13)), lighter(coat, 0.5))
    brush.fill(smooth([(0.34, -0.8), (0.52, -0.76), (0.46, -0.48), (0.34, -0.3), (0.24, -0.46)]), ear)
    brush.fill(box(0.36, -0.26, 0.68, -0.16, 0.04), tint(rng, (0, 1), (0.7, 0.9), (0.7, 0.9)))
    brush.fill(ellipse((0.95, -0.5), (0.075, 0.06)), INK)
    brush.fill(ellipse((0.68, -0.6), (0.05, 0.06)), INK)


def clock(brush: Brush, rng: np.random.Generator) -> None:
    """A round clock on two feet: a coloured rim, a pale face, marks and hands at any hour."""
    rim = tint(rng, hue=(0, 1), saturation=(0.25, 0.85), value=(0.4, 0.9))
    face = mix(CREAM, (255, 255, 255), rng.random())
    hand = darker(rim, 0.65)
    stance = rng.uniform(0.42, 0.72)
    for side in (-1, 1):
        brush.stroke([(side * 0.4, 0.6), (side * stance, 0.92)], 0.16, darker(rim))
    brush.fill(ellipse((0, 0), (0.88, 0.88)), rim)
    brush.fill(ellipse((0, 0), (rng.uniform(0.66, 0.74),) * 2), face)
    marks = int(rng.choice([4, 12]))
    for angle in np.arange(marks) * 2 * np.pi / marks:
        brush.fill(ellipse((0.57 * np.cos(angle), 0.57 * np.sin(angle)), (0.05, 0.05)), hand)
    for length, width in ((0.34, 0.12), (0.52, 0.08)):
        angle = rng.uniform(0, 2 * np.pi)
        brush.stroke([(0, 0), (length * np.cos(angle), length * np.sin(angle))], width, hand)
    brush.fill(ellipse((0, 0), (0.1, 0.1)), rim)


def flute(brush: Brush, rng: np.random.Generator) -> None:
    """A thick wooden or silver flute, lying, with rings and finger holes."""
    wood = tint(rng, hue=(0.03, 0.12), saturation=(0.05, 0.75), value=(0.5, 0.95))
    ring = tint(rng, hue=(0.1, 0.14), saturation=(0.1, 0.6), value=(0.8, 0.98))
    thick = rng.uniform(0.17, 0.21)
    brush.fill([(-0.99, -0.05), (-0.7, -thick), (-0.7, thick), (-0.99, thick)], wood)
    brush.fill(box(-0.72, -thick, 0.92, thick, 0.03), wood)
    brush.fill(box(0.86, -thick - 0.04, 0.99, thick + 0.04, 0.04), ring)
    for left in (-0.42, rng.uniform(0.4, 0.6)):
        brush.fill(box(left, -thick - 0.03, left + 0.09, thick + 0.03, 0.03), ring)
    brush.fill(box(-0.72, -thick + 0.05, 0.86, -thick + 0.1, 0.02), lighter(wood, 0.5))
    brush.fill(box(-0.64, -0.06, -0.52, 0.08, 0.02), INK)
    for hole in np.linspace(-0.2, 0.3, int(rng.integers(3, 5))):
        brush.fill(ellipse((hole, 0.02), (0.065, 0.075)), INK)


def car(brush: Brush, rng: np.random.Generator) -> None:
    """A car from the side in any colour: windows, two wheels, lamps."""
    paint = tint(rng, hue=(0, 1), saturation=(0.4, 0.9), value=(0.5, 0.95))
    glass = tint(rng, hue=(0.5, 0.6), saturation=(0.15, 0.4), value=(0.75, 0.95))
    roof, back, front = rng.uniform(-0.52, -0.4), rng.uniform(-0.72, -0.5), rng.uniform(0.3, 0.42)
    cabin = np.array([(back - 0.12, 0.0), (back + 0.06, roof), (front - 0.12, roof), (front + 0.26, 0.0)])
    brush.fill(cabin, paint)
    brush.fill(cabin * [0.9, 0.78] + [-0.005, -0.03], glass)
    brush.fill(box(-0.12, roof, -0.03, 0.05), paint)
    brush.fill(box(-0.99, -0.08, 0.99, 0.38, 0.14), paint)
    brush.fill(box(-0.97, 0.2, 0.97, 0.28), darker(paint, 0.3))
    brush.fill(ellipse((0.9, 0.08), (0.08, 0.09)), (255, 240, 170))
    brush.fill(ellipse((-0.93, 0.08), (0.06, 0.09)), (200, 40, 40))
    brush.fill(box(-0.28, 0.02, -0.14, 0.06, 0.02), darker(paint, 0.5))
    size = rng.uniform(0.22, 0.27)
    for wheel in (-0.56, 0.56):
        brush.fill(ellipse((wheel, 0.38), (size, size)), INK)
        brush.fill(ellipse((wheel, 0.38), (size * 0.55, size * 0.55)), STEEL)
        brush.fill(ellipse((wheel, 0.38), (size * 0.2, size * 0.2)), INK)


def guitar(brush: Brush, rng: np.random.Generator) -> None:
    """A guitar, upright: a waisted body of red or brown wood, a sound hole, a neck with frets and strings."""
    wood = tint(rng, hue=(0.0, 0.11), saturation=(0.55, 0.9), value=(0.45, 0.95))
    neck = tint(rng, hue=(0.04, 0.08), saturation=(0.4, 0.6), value=(0.25, 0.4))
    waist, hip = rng.uniform(0.28, 0.36), rng.uniform(0.48, 0.6)
    brush.fill(box(-0.1, -0.8, 0.1, 0.2), neck)
    brush.fill(box(-0.16, -1.0, 0.16, -0.76, 0.05), darker(wood, 0.3))
    for peg in (-0.94, -0.84):
        brush.stroke([(-0.22, peg), (0.22, peg)], 0.06, STEEL)
    side = [(0.12, -0.26), (0.36, -0.2), (0.4, 0.04), (waist, 0.24), (hip, 0.48), (hip - 0.02, 0.82), (0.2, 0.97)]
    body = smooth(mirrored(side))
    brush.fill(body, darker(wood, 0.45))
    brush.fill(body * [0.9, 0.93] + [0, 0.027], wood)
    brush.fill(box(-0.1, -0.7, 0.1, 0.14), neck)
    for fret in np.arange(-0.66, 0.1, 0.13):
        brush.stroke([(-0.09, fret), (0.09, fret)], 0.025, STEEL)
    brush.fill(ellipse((0, 0.24), (0.19, 0.19)), CREAM)
    brush.fill(ellipse((0, 0.24), (0.15, 0.15)), INK)
    brush.fill(box(-0.24, 0.66, 0.24, 0.74, 0.03), neck)
    for string in (-0.05, 0.0, 0.05):
        brush.stroke([(string, -0.8), (string, 0.7)], 0.016, CREAM)


def kettle(brush: Brush, rng: np.random.Generator) -> None:
    """A pot-bellied kettle, enamel or steel, with a spout, a lid and an arched handle."""
    enamel = tint(rng, hue=(0, 1), saturation=(0.02, 0.75), value=(0.55, 0.95))
    grip = tint(rng, hue=(0.04, 0.09), saturation=(0.3, 0.6), value=(0.15, 0.35))
    belly = rng.uniform(0.6, 0.7)
    brush.stroke(arc((-0.1, -0.28), (0.46, 0.56), np.pi, 2 * np.pi), 0.13, grip)
    spout = [(0.36, 0.46), (0.6, 0.16), (0.76, -0.28), (0.99, -0.3), (0.88, 0.02), (0.7, 0.5), (0.4, 0.72)]
    brush.fill(smooth(spout), darker(enamel, 0.15))
    body = smooth([
        (-0.4, -0.22), (0.2, -0.22), (belly - 0.16, 0.14), (belly - 0.08, 0.62),
        (0.4, 0.88), (-0.6, 0.88), (-belly - 0.12, 0.62), (-belly - 0.04, 0.14),
    ])  # fmt: skip
    brush.fill(body, enamel)
    with brush.inside(body):
        brush.fill(box(-1, 0.66, 1, 1), darker(enamel, 0.25))
        brush.fill(ellipse((-0.48, 0.22), (0.09, 0.28), 0.35), lighter(enamel, 0.7))
        if rng.random() < 0.5:
            for x in np.linspace(-0.6, 0.4, 5):
                brush.fill(ellipse((x, 0.5), (0.06, 0.06)), lighter(enamel, 0.75))
    brush.fill(ellipse((-0.1, -0.2), (0.4, 0.12)), darker(enamel, 0.35))
    brush.fill(ellipse((-0.1, -0.25), (0.32, 0.09)), lighter(enamel, 0.25))
    brush.fill(ellipse((-0.1, -0.37), (0.1, 0.09)), grip)


def campfire(brush: Brush, rng: np.random.Generator) -> None:
    """Flames in three colours over crossed logs; the tongues differ from fire to fire."""
    outer = tint(rng, hue=(-0.01, 0.05), saturation=(0.8, 0.95), value=(0.8, 0.98))
    middle = tint(rng, hue=(0.06, 0.1), saturation=(0.8, 0.95), value=(0.95, 1.0))
    core = tint(rng, hue=(0.13, 0.16), saturation=(0.4, 0.8), value=(0.98, 1.0))
    bark = tint(rng, hue=(0.05, 0.09), saturation=(0.4, 0.6), value=(0.28, 0.5))
    tips = rng.uniform([-0.62, -0.35, -0.98, -0.4, -0.6], [-0.3, -0.1, -0.8, -0.15, -0.25])
    lean = rng.uniform(-0.14, 0.14)
    xs = np.array([-0.5, -0.26, lean, 0.24, 0.52])
    for scale, colour in ((1.0, outer), (0.72, middle), (0.42, core)):
        crown = np.stack([xs, tips], axis=1)
        foot = np.array([(0.66, 0.2), (0.5, 0.62), (0, 0.74), (-0.5, 0.62), (-0.66, 0.2)])
        flame = np.concatenate([crown, foot]) * scale + [0, 0.66 * (1 - scale)]
        brush.fill(smooth(flame), colour)
    for tilt in (0.22, -0.22):
        ends = [(-0.76, 0.72 + tilt / 2), (0.76, 0.72 - tilt / 2)]
        brush.stroke(ends, 0.2, bark)
        brush.fill(ellipse(ends[0 if tilt > 0 else 1], (0.1, 0.1)), lighter(bark, 0.5))


LOOKS: dict[str, Look] = {
    look.__name__: look for look in (bell, drum, siren, bee, bird, dog, clock, flute, car, guitar, kettle, campfire)
}
CATEGORIES: tuple[str, ...] = tuple(LOOKS)
