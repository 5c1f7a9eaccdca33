"""A page of metrics that Baton scrapes: how it is read, kept and looked back on."""
