"""Reports for people: the demo's page, its pictures and the table of scores."""

from dsrnss.reporting.figures import contact_sheet, overlay, panel_row
from dsrnss.reporting.report import Curve, DemoReport, ModelScores, Panel, write_report
from dsrnss.reporting.tables import print_scores

__all__ = [
    "Curve",
    "DemoReport",
    "ModelScores",
    "Panel",
    "contact_sheet",
    "overlay",
    "panel_row",
    "print_scores",
    "write_report",
]
