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

.PHONY: deploy status rollback destroy
deploy:
	@LOCK_WAIT=60s $(PULL)

status:
	@release-ls
	@release-ls --history

rollback:
	@LOCK_WAIT=60s $(PULL) rollback

destroy:
	@printf 'Remove %s with all releases and all state? Type its name to go on: ' '$(CUTOVER_ROOT)' >&2; \
	read -r answer; [ "$$answer" = '$(CUTOVER_ROOT)' ] || { echo 'Nothing was removed.' >&2; exit 1; }
	@LOCK_WAIT=60s $(PULL) stop >/dev/null
	@rm -rf -- '$(CUTOVER_ROOT)'
