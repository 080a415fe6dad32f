"""What lies between encoder and decoder: how a latent is made of the encoder's output, in the fit and for storing."""
