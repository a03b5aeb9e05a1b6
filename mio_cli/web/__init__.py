"""``mio demo``: photos restored in a browser on the same machine, and the HTTP interface behind it."""
