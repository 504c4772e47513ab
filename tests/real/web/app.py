# Says its version; its secret is there and is not told.
import os
version = open('version').read().strip()
secret = open('.env').read().split('SECRET_KEY=')[1].strip()
status = open('status').read().strip()

def app(environ, start_response):
    environ['wsgi.input'].read()
    body = f'{version} {os.getpid()} {len(secret)}\n'.encode()
    start_response(status, [('Content-Length', str(len(body)))])
    return [body]
