"""The licence: what it grants, who checks it, what is reported. Knows nothing of calls or speech."""
