"""`dsrnss serve`: a web page and an HTTP interface for one network, safe to leave running.

Uploads are looked at before they are decoded (`limits`), wait in a bounded queue (`desk`), are computed (`work`,
`pair`) and shown (`view`, `page`) or sent as JSON (`api`). `guard` stands before all of it, `server` puts it together.
"""
