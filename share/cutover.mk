# Deploy with GNU make: set these five in your Makefile and include this file.
#
#   CUTOVER_ROOT    = /srv/shop                        where the application lives
#   CUTOVER_FROM    = build/                           what is deployed: whatever release-mk --from takes
#   CUTOVER_RESTART = --via systemd shop@1 shop@2      what is restarted, and how; nothing if empty
#   CUTOVER_GATE    = svc-health http://127.0.0.1:800{i}/healthz --wait 30s --expect-release
#   CUTOVER_KEEP    = 5                                how many good releases stay
#   include /usr/share/cutover/cutover.mk
#   deploy: build                                      your own target, if something is built first
#
#   make deploy      make, switch, restart; taken back if the gate says no
#   make rollback    the previous good release; taken forth again if the gate says no
#   make status      what is there, and what was live when
#   make gc          collect now
#
# stdout is the record. make itself ends with 2 when a deploy fails; the deploy's own status is in its message
# ("Error 3") and in the record. `make -n cutover-deploy` prints the pipe.

CUTOVER_KEEP ?= 5
export CUTOVER_ROOT CUTOVER_GATE

cutover_make := $(MAKE) --no-print-directory -f $(firstword $(MAKEFILE_LIST))
cutover_lock = @$(if $(CUTOVER_ROOT),,$(error set CUTOVER_ROOT to the directory of the application))release-lock --
cutover_restart = svc-restart $(CUTOVER_RESTART) $(if $(CUTOVER_GATE),--gate "$$CUTOVER_GATE")
cutover_restarted = release-switch --undo $(if $(CUTOVER_RESTART),| $(cutover_restart) --undo)

.PHONY: deploy rollback status gc cutover-deploy cutover-rollback
deploy:
	$(cutover_lock) $(cutover_make) cutover-deploy

rollback:
	$(cutover_lock) $(cutover_make) cutover-rollback

status:
	@release-ls
	@release-ls --history

gc:
	@release-gc -n --keep $(CUTOVER_KEEP)

cutover-deploy:
	@release-mk --from $(if $(CUTOVER_FROM),$(CUTOVER_FROM),$(error set CUTOVER_FROM to what is deployed)) | release-switch \
	$(if $(CUTOVER_RESTART),| $(cutover_restart)) | $(cutover_restarted) | release-gc --keep $(CUTOVER_KEEP)

cutover-rollback:
	@release-switch --rollback $(if $(CUTOVER_RESTART),| $(cutover_restart)) | $(cutover_restarted)
