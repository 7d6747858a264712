"""The demo data set: rendered landscapes, photographs, planted faults and a truth table."""

from recolor.demo.images import TRUTH_NAME, make_demo_images
from recolor.demo.landscape import render_landscape
from recolor.demo.summary import demo_summary

__all__ = ["TRUTH_NAME", "demo_summary", "make_demo_images", "render_landscape"]
