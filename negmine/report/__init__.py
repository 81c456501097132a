"""A run as one HTML page: what its stages did, its scores and thresholds, and its queries to look at."""

from negmine.report.writing import Report, report_path, write_report

__all__ = ["Report", "report_path", "write_report"]
