"""The page of all studies.

| module         | content                                                            |
| -------------- | ------------------------------------------------------------------ |
| `page.py`      | contents of the page; `page.html.jinja` and `style.css` its layout |
| `explorable.py`| numbers of two networks that train in the page                     |
| `theorem.py`   | numbers of the theorem's pictures and of "lazy or rich"            |
| `network.js`   | a network that trains in the browser, and its linearisation        |
| `plot.js`      | charts; `explorable.js`, `theorem.js`: the pictures and sliders    |
| `doubts.py`    | notes on missing or doubtful numbers of a study                    |
| `gallery.py`   | the figures of the sources                                         |
| `thumbnail.py` | thumbnails of pictures                                             |

This index imports neither a study nor a slow package. `ntkpipe.text` formats numbers.
"""
