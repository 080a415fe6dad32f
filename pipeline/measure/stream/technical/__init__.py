"""How well a picture was taken and kept: light, colour, detail, noise, blocks, combing, repeats and flicker."""
