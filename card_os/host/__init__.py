"""The reader's side: links and typed sessions."""
