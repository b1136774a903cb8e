"""From a labelled day set and a folder of night pictures to an adapted network, without an experiment file."""
