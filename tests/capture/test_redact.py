import pytest

from edgevision.capture.redact import redact


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("rtsp://user:secret@host:554/a", "rtsp://***@host:554/a"),
        ("rtsp://user:se@cret@host/a", "rtsp://***@host/a"),
        ("cannot open 'http://u:p@h/x?password=abc&n=1': no", "cannot open 'http://***@h/x?password=***&n=1': no"),
        ("rtsp://host/stream?user=admin&pwd=x", "rtsp://host/stream?user=***&pwd=***"),
        ("mail a@b.c and rtsp://host/a@b", "mail a@b.c and rtsp://host/a@b"),
    ],
)
def test_credentials_are_masked_and_nothing_else(text, clean):
    assert redact(text) == clean
