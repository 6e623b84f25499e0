"""The issuing desk in a browser: a controller without web, and its pages (docs/desk.md, ui.md)."""
