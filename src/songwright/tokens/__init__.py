"""Songs as sequences: vocabularies, encoding, grammar, side channels, shards."""
