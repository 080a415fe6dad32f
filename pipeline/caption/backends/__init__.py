"""Language and vision-language models behind one seam: requests in, answers out, whatever runs them."""
