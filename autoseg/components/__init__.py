"""Connected components: numbered (`labelling`), as a graph of what touches (`graph`), and how far apart (`surfaces`)."""
