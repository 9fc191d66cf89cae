"""The synthetic factory line: settings, belt, parts, scene, camera and their exact truth. `line.py` puts them together."""
