"""The look the three web faces share (docs/ui.md): templates, style, pictures, sounds, words."""
