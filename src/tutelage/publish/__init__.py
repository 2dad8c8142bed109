"""From a finished run to what others read: export, model card, submission."""
