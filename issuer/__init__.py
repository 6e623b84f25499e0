"""The desk (docs/desk.md): personalisation, stock, transport codes, evidence."""
