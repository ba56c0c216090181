"""Everything the suite shares is in the plugin."""

pytest_plugins = ["rosetta.plugin"]
