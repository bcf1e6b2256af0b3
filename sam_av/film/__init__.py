"""What `sam-av segment` leaves behind: films with their masks, the masks as files, pictures of how it went."""
