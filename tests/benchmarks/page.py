"""page"""
def write(path, earlier, run):
    path.parent.mkdir(parents=True, exist_ok=True); path.write_text("x")
