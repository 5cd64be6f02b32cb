# lib.sh: what node and apiserver share: certificates, kubeconfig, starting the programs, waiting
# for them, agent-sandbox. Sourced by both; they set $me (for messages), $dir (the cluster's folder,
# an absolute path) and $bin (the folder that `build` printed).

here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")

die() { echo "$me: $*" >&2; exit 1; }

# need PROGRAM PACKAGE...: pairs; says in one line all that is absent
need() {
	local missing=()
	while [ $# -gt 0 ]; do
		command -v "$1" >/dev/null || missing+=("$2")
		shift 2
	done
	[ ${#missing[@]} = 0 ] || die "missing programs: apt-get install ${missing[*]}"
}

# start NAME COMMAND...: in the background; ends with the shell that called. log/NAME.log, NAME.pid
start() {
	local name=$1
	shift
	setpriv --pdeathsig KILL -- "$@" >>"$dir/log/$name.log" 2>&1 </dev/null &
	echo $! >"$dir/$name.pid"
}

alive() { kill -0 "$(cat "$dir/$1.pid")" 2>/dev/null; }

# wait_for SECONDS NAME COMMAND...: until COMMAND succeeds; NAME is the program that makes it so,
# whose end or silence is the error that is said
wait_for() {
	local end=$((SECONDS + $1)) name=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		alive "$name" || fail "$name ended while it was waited for ($*); see $dir/log/$name.log"
		[ $SECONDS -lt $end ] || fail "$name: not ready in time ($*); see $dir/log/$name.log"
		sleep .1
	done
}

# fail MESSAGE: from the detached part, to whoever waits in `await`
fail() { echo "$*" >"$dir/failed"; exit 1; }

# launch COMMAND...: detach the part that keeps the cluster, wait until it has said ready or failed
launch() {
	local end=$((SECONDS + 90)) keeper
	setsid "$@" >"$dir/log/keeper.log" 2>&1 </dev/null &
	keeper=$!
	disown
	echo $keeper >"$dir/keeper.pid"
	until [ -e "$dir/ready" ]; do
		if ! alive keeper || [ $SECONDS -ge $end ]; then
			tail -n 5 "$dir"/log/*.log >&2
			end_keeper
			die "not up: $(cat "$dir/failed" 2>/dev/null || echo "see $dir/log/")"
		fi
		sleep .1
	done
}

# The keeper's pid, if it still is the one of this folder: a pid alone may be another's by now.
keeper() {
	local pid
	pid=$(cat "$dir/keeper.pid" 2>/dev/null) || return 1
	{ tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qxF -- "$dir" && echo "$pid"
}

# SIGKILL is enough: everything the keeper started is bound to its life.
end_keeper() {
	local pid
	pid=$(keeper) || return 0
	kill -9 "$pid"
	while keeper >/dev/null; do sleep .05; done
}

# certificates ADDRESS...: in $dir/pki: a CA, the API server's and the webhook's certificate for the
# ADDRESSes, an administrator's client certificate, the key that signs service account tokens
certificates() {
	local pki=$dir/pki names=DNS:localhost a
	for a in '' .default .default.svc; do names+=,DNS:kubernetes$a; done
	for a; do names+=,IP:$a; done
	mkdir -p "$pki"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
		-subj /CN=test-cluster-ca -keyout "$pki/ca.key" -out "$pki/ca.crt"
	certificate server /CN=kube-apiserver "subjectAltName=$names"
	certificate admin /O=system:masters/CN=certificate-admin extendedKeyUsage=clientAuth
	openssl ecparam -name prime256v1 -genkey -noout -out "$pki/sa.key"
	openssl ec -in "$pki/sa.key" -pubout -out "$pki/sa.pub"
} 2>>"$dir/log/openssl.log"

certificate() {
	local pki=$dir/pki
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$2" \
		-keyout "$pki/$1.key" -out "$pki/$1.csr"
	openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial \
		-days 30 -extfile <(echo "$3") -out "$pki/$1.crt"
}

# users: the tokens. admin may everything; driver and nobody may what a test binds to them, at first
# nothing. A token is its user's name and "-token".
users() {
	cat >"$dir/tokens.csv" <<-EOF
	admin-token,admin,admin,"system:masters"
	driver-token,driver,driver
	nobody-token,nobody,nobody
	EOF
}

# kubeconfig URL: contexts admin (current), driver, nobody, and certificate (an administrator)
kubeconfig() {
	local user
	{
		echo "apiVersion: v1"
		echo "kind: Config"
		echo "current-context: admin"
		echo "clusters: [{name: test, cluster: {server: \"$1\", certificate-authority: $dir/pki/ca.crt}}]"
		echo "contexts:"
		for user in admin driver nobody certificate; do
			echo "- {name: $user, context: {cluster: test, user: $user}}"
		done
		echo "users:"
		for user in admin driver nobody; do
			echo "- {name: $user, user: {token: $user-token}}"
		done
		echo "- name: certificate"
		echo "  user: {client-certificate: $dir/pki/admin.crt, client-key: $dir/pki/admin.key}"
	} >"$dir/kubeconfig"
	environment
}

# For what works with the cluster. kubectl files what it remembers of a server under its address,
# and all nodes have the same: hence a folder of its own.
environment() {
	export PATH=$bin/bin:$PATH KUBECONFIG=$dir/kubeconfig KUBECACHEDIR=$dir/kubectl
}

# start_etcd DATA CLIENT-PORT PEER-PORT: data need not survive a crash of the machine
start_etcd() {
	local client=http://127.0.0.1:$2 peer=http://127.0.0.1:$3
	start etcd etcd --data-dir "$1" --unsafe-no-fsync --log-level error \
		--listen-client-urls "$client" --advertise-client-urls "$client" \
		--listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer"
}

# start_apiserver ETCD-PORT FLAG...: and wait until it serves
start_apiserver() {
	local etcd=$1
	shift
	start apiserver "$bin/bin/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd" \
		--tls-cert-file "$dir/pki/server.crt" --tls-private-key-file "$dir/pki/server.key" \
		--client-ca-file "$dir/pki/ca.crt" --token-auth-file "$dir/tokens.csv" --authorization-mode RBAC \
		--service-account-issuer https://kubernetes.default.svc \
		--service-account-key-file "$dir/pki/sa.pub" \
		--service-account-signing-key-file "$dir/pki/sa.key" \
		--service-cluster-ip-range 10.0.0.0/24 --allow-privileged "$@"
	wait_for 60 apiserver kubectl get --raw /readyz
}

# crds WEBHOOK-PORT: $dir/crds/v1beta1.yaml (which serves v1alpha1 too) and v1alpha1.yaml, as
# agent-sandbox ships them, but with the conversion webhook found by address instead of by a Service
crds() {
	local where
	where='"url": "https://127.0.0.1:'$1'/convert", "caBundle": "'$(base64 -w0 "$dir/pki/ca.crt")'"'
	mkdir -p "$dir/crds"
	cp "$bin/crds/agent-sandbox-old.yaml" "$dir/crds/v1alpha1.yaml"
	kubectl patch --local -f "$bin/crds/agent-sandbox.yaml" -o yaml --type merge -p \
		'{"spec": {"conversion": {"webhook": {"clientConfig": {"service": null, '"$where"'}}}}}' \
		>"$dir/crds/v1beta1.yaml"
}

# install_crd v1beta1|v1alpha1: and wait until it is served
install_crd() {
	kubectl create -f "$dir/crds/$1.yaml" || fail "CRD $1: see $dir/log/keeper.log"
	wait_for 30 apiserver kubectl get --raw "/apis/agents.x-k8s.io/$1/sandboxes"
}

# start_controller v1beta1|v1alpha1 WEBHOOK-PORT METRICS-PORT HEALTH-PORT: agent-sandbox's own
start_controller() {
	local common=(--leader-elect=false --kubeconfig "$dir/kubeconfig"
		--metrics-bind-address "127.0.0.1:$3" --health-probe-bind-address "127.0.0.1:$4")
	case $1 in
	v1beta1)
		start controller "$bin/bin/agent-sandbox-controller" "${common[@]}" --webhook-port "$2" \
			--manage-webhook-certs=false --webhook-cert-dir "$dir/pki" \
			--webhook-cert-name server.crt --webhook-key-name server.key ;;
	v1alpha1)
		start controller "$bin/bin/agent-sandbox-old-controller" "${common[@]}" ;;
	esac
	wait_for 30 controller curl -sf --max-time 2 "http://127.0.0.1:$4/readyz"
}
