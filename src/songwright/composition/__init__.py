"""New music: a plan, then melody and chords, then the piano part."""
