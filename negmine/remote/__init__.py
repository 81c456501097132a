"""What lies behind a URL: inputs fetched from stores, results sent there, a run whose work_dir is in a bucket."""
