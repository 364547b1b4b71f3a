"""What tests share: stand-ins of the vendors, whole loads, rows of core and months of a report. No tests live here."""
