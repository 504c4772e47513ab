# A Makefile for those who keep a service as `.env` and `make`: include it, or copy it beside your .env.
#
#   make            bring live what is new; does nothing the second time
#   make status     what is live, and what was
#   make rollback   back to the release before
#   make destroy    stop the service and remove everything, state too; asks first, and nothing else ever removes state
#
# .env has lines of KEY=value: CUTOVER_ROOT, REPOSITORY, and what else recipes/pull reads.
include .env
export
PULL ?= pull
UNIT ?= mirror
INSTANCES ?= 1 2
units = $(INSTANCES:%=$(UNIT)@%)

.PHONY: deploy status rollback destroy
deploy:
	@LOCK_WAIT=60s $(PULL)

status:
	@release-ls
	@release-ls --history

rollback:
	@release-switch --rollback | svc-restart --via systemd $(units)

destroy:
	@printf 'Remove %s with all releases and all state? Type its name to go on: ' '$(CUTOVER_ROOT)' >&2; \
	read -r answer; [ "$$answer" = '$(CUTOVER_ROOT)' ] || { echo 'Nothing was removed.' >&2; exit 1; }
	@svc-restart -n --via systemd $(units) --action stop >/dev/null
	@rm -rf -- '$(CUTOVER_ROOT)'
