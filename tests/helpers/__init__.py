"""What several tests share; pytest finds it because ``tests`` is on its path (pyproject.toml)."""
