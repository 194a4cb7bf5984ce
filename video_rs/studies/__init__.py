"""Many runs and what they say together: the additive study, scaling, the frontier of speed and accuracy."""
