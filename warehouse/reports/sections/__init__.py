"""The report's tables by subject: each function asks the published database one question and gives a section."""
