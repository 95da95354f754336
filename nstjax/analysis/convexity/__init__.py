"""analysis/convexity"""
