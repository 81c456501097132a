"""What people say of pairs of a query and a passage: sheets that they fill in, and the files that keep it."""
