# A service in one file: `python3 shop.jar PORT [ALIVE]`. It holds its own file open, as a JVM does, and ends
# with the story that holds ALIVE locked.
import fcntl, http.server, os, signal, sys, threading
from version import VERSION, STATUS

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get('Content-Length') or 0))
        body = f'{VERSION} {os.getpid()}\n'.encode()
        self.send_response(STATUS)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *words): pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

def end_with_the_story():
    fcntl.flock(open(sys.argv[2]), fcntl.LOCK_SH)
    os._exit(0)

if len(sys.argv) > 2:
    threading.Thread(target=end_with_the_story, daemon=True).start()
jar = open(sys.argv[0], 'rb')
server = Server(('127.0.0.1', int(sys.argv[1])), Answer)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever(0.05)
