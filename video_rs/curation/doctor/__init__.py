"""The doctor: what is wrong with a data set, told from its lists and from probing each of its files once."""
