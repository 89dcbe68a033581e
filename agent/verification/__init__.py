"""Security's parts: the envelope's form, the numbered checks, whose word counts, how trust documents follow."""
