"""A verdict as people and programs read it. From the top down.

page      one self-contained HTML file
terminal  lines for a terminal
parts     what all of them say: the findings that do not pass first, then what was not checked, then the rest
"""
