"""The look the three web faces share: base templates, style, pictures, sounds, words."""
