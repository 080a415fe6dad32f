"""Whether captions belong to their clips: each caption against the other captions and clips of its captioner."""
