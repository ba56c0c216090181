"""What the apps have in common; the files that name no framework are every implementation's."""
