"""analysis/surfaces"""
