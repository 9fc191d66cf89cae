"""A test pattern over RTSP. Run by the system's Python, which has GStreamer: `rtsp_server.py PORT` (0 takes a free one and prints it)."""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
if Gst.ElementFactory.find("x264enc"):
    coded = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 threads=1 ! rtph264pay name=pay0 pt=96"
elif Gst.ElementFactory.find("jpegenc"):
    coded = "jpegenc ! rtpjpegpay name=pay0 pt=26"
else:
    sys.exit("neither x264enc nor jpegenc")
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(f"( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=20/1 ! {coded} )")
factory.set_shared(True)
server.get_mount_points().add_factory("/test", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
