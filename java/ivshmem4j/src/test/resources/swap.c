// swap FOLDER OTHER STORE: waits until FOLDER exists and a random number of changes (1 to 6) have occurred in it, exchanges
// it with OTHER for 30 ms, and then moves it away, so that it is created again. Before each exchange, OTHER contains links
// to the files of STORE.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int swap(char **argv) {
    return renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE);
}

static void fill(const char *folder, const char *store) {
    DIR *list = opendir(store);
    char from[512], to[512];
    for (struct dirent *file; (file = readdir(list));) {
        snprintf(from, sizeof from, "%s/%s", store, file->d_name);
        snprintf(to, sizeof to, "%s/%s", folder, file->d_name);
        unlink(to);
        link(from, to);
    }
    closedir(list);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    fill(argv[2], argv[3]);
    puts("swapping");
    fflush(stdout);
    for (int turn = 0; getppid() != 1; turn++) {
        struct stat before, now;
        while (stat(argv[1], &before)) if (getppid() == 1) return 0;
        int looks = 0;
        for (int things = 1 + rand() % 6; things; things -= now.st_mtim.tv_nsec != before.st_mtim.tv_nsec, before = now)
            if (stat(argv[1], &now) || ++looks > 100000) break;
        if (!swap(argv)) {
            usleep(30000);
            if (swap(argv)) return 1;
            fill(argv[2], argv[3]);
        }
        char away[32];
        snprintf(away, sizeof away, "away%d", turn);
        rename(argv[1], away);
    }
}
