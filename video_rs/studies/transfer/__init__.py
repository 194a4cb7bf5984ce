"""Transfer: what trained networks are worth on other data sets than those that they were trained on."""
