"""The words: what decodes, what is refused, and the pages made of them."""
