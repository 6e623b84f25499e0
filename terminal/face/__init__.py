"""The village hall's face in a browser: routes, templates and style over the counter's screens."""
