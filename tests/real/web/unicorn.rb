root = ENV['CUTOVER_ROOT']
working_directory "#{root}/current"
listen ENV['BIND']
pid "#{root}/shared/server.pid"
stderr_path "#{root}/shared/server.log"
worker_processes 2
