"""The steps that commands are made of, each doing only what is missing."""
