# The same for Ruby.
version = File.read('version').strip
secret = File.read('.env')[/SECRET_KEY=(.*)/, 1]
status = File.read('status').to_i
run lambda { |env|
  env['rack.input'].read
  body = "#{version} #{Process.pid} #{secret.size}\n"
  [status, { 'content-type' => 'text/plain', 'content-length' => body.bytesize.to_s }, [body]]
}
